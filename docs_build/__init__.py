"""What is done to the pages besides what MkDocs does: equations, boxes that scroll, and notebooks."""
