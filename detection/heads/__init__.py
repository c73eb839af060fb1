"""What turns features into box codes and class logits."""
