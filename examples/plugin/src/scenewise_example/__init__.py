"""What a package of your own can add to scenewise; nothing heavy is imported here."""
