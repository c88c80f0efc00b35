"""What the authors' programs do, once more and plainly: rules that are compared with ours and never call them."""
