"""Deploy: saved models put to use, whoever trained them."""
