"""The notifier: alerts people, and takes what they answer."""
