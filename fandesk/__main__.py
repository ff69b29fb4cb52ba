"""`python -m fandesk` is `fandesk`."""

from fandesk.cli import main

if __name__ == "__main__":
    main()
