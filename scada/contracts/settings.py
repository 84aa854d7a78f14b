"""``contracts.toml`` as frozen dataclasses: who sells, whom we trust, which token signs, which days and sizes hold."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from scada.model.errors import Fault
from scada.tables import bounded, load_table, refuse_faults


@dataclass(frozen=True, slots=True)
class SellerSettings:
    """The seller as the contract names it; the token's certificate must carry ``identity``."""

    name: str = "Công ty Điện lực mẫu"
    identity: str = "MST:0000000000"
    address: str = "Thái Nguyên"
    phone: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class TrustSettings:
    """Whom we trust. Paths to certificates (PEM or DER); without roots nothing is accepted."""

    roots: tuple[Path, ...] = ()
    intermediates: tuple[Path, ...] = ()
    tsa_url: str = ""
    tsa_tolerance_s: float = bounded(low=1.0, high=3600.0, default=60.0)
    fetch_limit_s: float = bounded(low=0.1, high=60.0, default=5.0)


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """The seller's PKCS#11 token. The PIN comes from the environment variable ``pin_variable``, else from ``pin_file``,
    which only its owner may read. ``softhsm_conf`` is for a software token that is not the machine's own."""

    module: Path = Path("/usr/lib/softhsm/libsofthsm2.so")
    label: str = "seller"
    key: str = "seller"
    pin_variable: str = "SCADA_TOKEN_PIN"
    pin_file: Path = Path()
    certificate: Path = Path("seller.cer")
    softhsm_conf: Path = Path()


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """Days and sizes. ``working_days`` is the target from application to energised supply; ``holidays`` is a table of
    days of rest in place of the one that comes with the product."""

    working_days: int = bounded(low=1, high=60, default=7)
    holidays: Path | None = None
    remind_days_before: int = bounded(low=0, high=30, default=2)
    sign_within_days: int = bounded(low=1, high=365, default=30)
    upload_limit_kib: int = bounded(low=64, high=65536, default=8192)
    renew_before_days: int = bounded(low=1, high=3650, default=180)


@dataclass(frozen=True, slots=True)
class ContractSettings:
    """The whole file. Relative paths are relative to it."""

    verify_url: str = "http://127.0.0.1:8080/api/v1/contracts/verify"
    seller: SellerSettings = field(default_factory=SellerSettings)
    trust: TrustSettings = field(default_factory=TrustSettings)
    token: TokenSettings = field(default_factory=TokenSettings)
    rules: RuleSettings = field(default_factory=RuleSettings)


def load_settings(path: Path) -> ContractSettings:
    """The settings in ``path``. Raises ConfigurationError with every fault."""
    found: list[Fault] = []
    settings = load_table(ContractSettings, path, found)
    refuse_faults(found)
    assert settings is not None
    root = path.resolve().parent
    trust, token, rules = settings.trust, settings.token, settings.rules
    return replace(
        settings,
        trust=replace(
            trust,
            roots=tuple(root / each for each in trust.roots),
            intermediates=tuple(root / each for each in trust.intermediates),
        ),
        token=replace(
            token,
            certificate=root / token.certificate,
            pin_file=root / token.pin_file,
            softhsm_conf=root / token.softhsm_conf,
        ),
        rules=replace(rules, holidays=root / rules.holidays if rules.holidays else None),
    )
