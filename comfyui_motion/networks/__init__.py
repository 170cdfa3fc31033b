"""One file a published family, which never imports another; layers/ holds what they share."""
