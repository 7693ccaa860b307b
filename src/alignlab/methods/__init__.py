"""One readable loop for each method. What two of them share lives a floor below."""
