"""One dead integration under load: who is kept waiting, who is told at once, and what happens when it is back."""
