"""What is done to the pages besides what MkDocs does: equations, and notebooks."""
