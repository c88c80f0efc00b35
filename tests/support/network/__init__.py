"""What runs listen on, and a second machine that tries what an attacker would."""
