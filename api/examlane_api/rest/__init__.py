"""The REST interface: one package a subject, its messages beside its endpoints."""
