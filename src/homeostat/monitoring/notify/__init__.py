"""Telling people of alarms: channels, what each is to hear and when, the text, and the sending."""
