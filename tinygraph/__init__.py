"""tinygraph: gradients nobody writes by hand, that are checked, and that you can see."""
