"""The configuration: the CNCF registry's file and environment, in three pure steps."""
