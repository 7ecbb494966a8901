"""What did the classifier hear, and can you believe that? Train, measure and investigate sound classifiers."""

__version__ = "0.1.0"
