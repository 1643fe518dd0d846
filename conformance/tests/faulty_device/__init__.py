"""A device with one fault, which the variable FAULTY names."""
