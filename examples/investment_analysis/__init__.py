"""An investment desk: four analysts look at one share at once, three must agree, and the dissent is told."""
