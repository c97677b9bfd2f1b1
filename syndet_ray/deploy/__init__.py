"""Deploy: uses saved models, no matter which run trained them."""
