"""The rules of maths, science and instruction following, and the readers that they share."""
