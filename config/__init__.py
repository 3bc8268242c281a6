"""Configuration: settings (.env), symbols and limits (YAML), secrets (1Password). Frozen and closed."""
