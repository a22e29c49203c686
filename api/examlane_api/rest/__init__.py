"""REST under /api/v1: OpenAPI 3.1, RFC 9457 problems, Idempotency-Key on every write."""
