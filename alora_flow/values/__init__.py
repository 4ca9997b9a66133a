"""What the expressions of a flow stand for: values, their pydantic types, and evaluation."""
