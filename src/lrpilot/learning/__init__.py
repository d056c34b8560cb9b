"""How the pilot's policy is learned."""
