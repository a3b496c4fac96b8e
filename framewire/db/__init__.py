"""The gateway's database: tables, migrations, and stores whose every method is one transaction."""
