"""`python -m alora_flow.mini train | evaluate | card`."""

from alora_flow.cli.mini import command

if __name__ == "__main__":
    command(prog_name="python -m alora_flow.mini")
