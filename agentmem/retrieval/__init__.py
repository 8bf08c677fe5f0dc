"""From a question to ranked ids: candidates, their scores, and what they bring along."""
