"""The untrusted side: what runs inside the jail. Standard library only; imports nothing from outside."""
