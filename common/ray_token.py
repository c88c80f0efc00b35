"""Ray's token, settled before Ray is imported, which reads its mode once.

    os.environ |= settled("10.0.0.1:6379")

`ray start --head` asks for a token as soon as one lies in the home folder, where any earlier ray.init() leaves one;
nodes and drivers that come later do not send it by themselves, and Ray repeats "InvalidAuthToken" until it gives up.
"""

import os
import sys
from pathlib import Path

from common.commands import UserError

ALIVE = "/ray.rpc.NodeInfoGcsService/CheckAlive"  # a call of Ray's head that changes nothing; it takes no fields


def settled(address: str, seconds: float = 30) -> dict[str, str]:
    """What to add to the environment to speak to the Ray at HOST:PORT, or a sentence why it does not answer."""
    if os.environ.get("RAY_USE_TLS", "0") == "1":
        return {}  # certificates decide, and are the user's
    if ":" not in address:  # `auto`, a Ray that was started here: by its own rule
        return {"RAY_AUTH_MODE": os.environ.get("RAY_AUTH_MODE", "token" if _token() else "disabled")}
    if _answers(address, None, seconds):
        print(
            f"warning: the Ray at {address} asks for no token: whoever reaches its ports can run code on its nodes; "
            "start it with RAY_AUTH_MODE=token (recipes/hardware/README.md)",
            file=sys.stderr,
        )
        return {"RAY_AUTH_MODE": "disabled"}
    if not _token():
        raise UserError(
            f"the Ray at {address} asks for its token and there is none here: set RAY_AUTH_TOKEN, or copy "
            "~/.ray/auth_token of the machine that started it"
        )
    if not _answers(address, _token(), seconds):
        raise UserError(
            f"the Ray at {address} refuses the token that is here; set RAY_AUTH_TOKEN to the one it was started with"
        )
    return {"RAY_AUTH_MODE": "token"}


def _token() -> str:
    """The token that Ray would send, from where it looks for one."""
    if token := os.environ.get("RAY_AUTH_TOKEN", ""):
        return token
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    return file.read_text().strip() if file.is_file() else ""


def _answers(address: str, token: str | None, seconds: float) -> bool:
    """Whether Ray's head accepts the token."""
    import grpc  # Ray's own

    metadata = [("authorization", f"Bearer {token}")] if token else []
    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary(ALIVE)(b"", timeout=seconds, metadata=metadata, wait_for_ready=True)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                return False
            raise UserError(
                f"no Ray answers at {address} within {seconds:.0f} s ({error.code().name.lower()}); start one there "
                "with `ray start --head`, or mend RAY_ADDRESS"
            ) from error
    return True
