"""On what problem: the images of a data source, and what training and scoring on them means."""
