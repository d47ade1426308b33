"""What the fork server may run: a process that ends at once, well or not, as it is told."""


def decode_config(data: bytes) -> int:
    return data[0]


def main(config: int) -> None:
    if config:
        raise SystemExit(config)
