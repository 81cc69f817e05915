"""Asks for more calls than a budget covers, at once, and counts at the model's server how many were made.

Two hundred callers, a budget for fifty, and a server that answers nobody until each of them was let through or refused.
So nothing is given back in between, and fifty is the number whatever is limited: calls, dollars or tokens.
"""
