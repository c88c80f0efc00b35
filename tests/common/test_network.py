"""The attack that no run obeys does work: TransferQueue's own reader, open to all addresses, obeys it."""

from pathlib import Path

import zmq

from tests.support.network.neighbour import attack, neighbour


def test_a_crafted_pickle_is_obeyed_where_it_arrives(tmp_path: Path) -> None:
    from transfer_queue.utils.serial_utils import decode

    near, far = tmp_path / "near", tmp_path / "far"
    with zmq.Context() as context, context.socket(zmq.ROUTER) as server:
        server.setsockopt(zmq.LINGER, 0)
        server.setsockopt(zmq.RCVTIMEO, 5000)
        port = server.bind_to_random_port("tcp://0.0.0.0")
        attack("127.0.0.1", port, near)
        decode(server.recv_multipart()[1:])
        assert near.exists()
        with neighbour(far) as send:
            send(port)
            if any(Path("/run/netns").glob("mc*")):  # where one may be made
                decode(server.recv_multipart()[1:])
                assert far.exists()
