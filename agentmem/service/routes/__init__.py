"""The routes of the API: one for each verb of `Memory`."""
