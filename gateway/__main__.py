"""argv -> command."""

from gateway.commands.main import main

if __name__ == "__main__":
    main()
