"""Pages and figures about datasets, models and their utility: `page` writes one for a dataset."""
