"""shell: `care-voice tls`: the gateway's own certificate authority, as devices must come to trust it."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import click
from cryptography import x509

from gateway import resources
from gateway.local_ca import LocalCaError, LocalFiles, ensure_certificate, names_of
from gateway.tls import TlsError, fingerprint_of, machine_names, names_from

OPTION = click.option(
    "--data-dir",
    default="",
    envvar="CARE_VOICE_DATA_DIR",
    help="Where they are kept. [default: /app/data if it exists, else ~/.local/share/care-voice]",
)


@click.group()
def tls() -> None:
    """Show or make the local certificate authority of `serve --tls-self-signed`."""


@tls.command()
@OPTION
def show(data_dir: str) -> None:
    """Print the CA's fingerprint, to compare with what a device shows before it trusts it."""
    files = LocalFiles(resources.data_dir(data_dir) / "tls")
    try:
        authority, certificate = _read(files.ca), _read(files.certificate)
    except (OSError, ValueError):
        raise click.ClickException(
            f"No certificates in {files.directory}. Make them: care-voice tls make."
        ) from None
    names = names_of(certificate)
    click.echo(f"CA           {files.ca}")
    click.echo(f"SHA-256      {fingerprint_of(authority)}")
    click.echo(f"CA until     {authority.not_valid_after_utc:%Y-%m-%d}")
    click.echo(f"certificate  until {certificate.not_valid_after_utc:%Y-%m-%d}, made anew by itself")
    click.echo(f"names        {', '.join([*names.domains, *map(str, names.addresses)])}")


@tls.command()
@click.option("--name", "names", multiple=True, help="Another name or address of this machine; repeat.")
@OPTION
@click.pass_context
def make(context: click.Context, names: tuple[str, ...], data_dir: str) -> None:
    """Make the CA and the certificate now, for instance to spread ca.pem before the gateway runs."""
    files = LocalFiles(resources.data_dir(data_dir) / "tls")
    try:
        ensure_certificate(files, names_from(",".join(names)), machine_names(), datetime.now(UTC))
    except (LocalCaError, TlsError) as error:
        click.echo(f"care-voice: {error}", err=True)
        sys.exit(1)
    context.invoke(show, data_dir=data_dir)


def _read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())
