"""Pages and figures about datasets, models and their worth: `page` makes one of a dataset."""
