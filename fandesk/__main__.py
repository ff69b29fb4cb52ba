"""`python -m fandesk` is `fandesk`."""

from fandesk.cli import main

main()
