"""Why a gradient is wrong: changes that would put it right, tried one after the other, and the line that needs them."""
