"""`python -m alora_flow.mini train | evaluate | card`."""

from alora_flow.cli.mini import mini

if __name__ == "__main__":
    mini(prog_name="python -m alora_flow.mini")
