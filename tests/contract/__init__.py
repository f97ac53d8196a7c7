"""What holds for the packages as a whole, whatever their parts do."""
