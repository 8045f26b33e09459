"""`gradebox token`: a new token for a tenant."""

import json

from pydantic import TypeAdapter, ValidationError

from gradebox_command.errors import DONE, BadArgument
from gradebox_engine.access import TenantName
from gradebox_engine.tenants import new_token


def token(tenant: str, *, as_json: bool) -> int:
    """Prints a token and what the configuration is to hold of it; neither is kept anywhere."""
    try:
        TypeAdapter[str](TenantName).validate_python(tenant)
    except ValidationError:
        raise BadArgument("TENANT: 64 letters, digits, dots, hyphens or underscores at most") from None
    secret, digest = new_token()
    if as_json:
        print(json.dumps({"tenant": tenant, "token": secret, "digest": digest}))
        return DONE
    print(f"{secret}\n")
    print("The token is shown this once. For the engine's configuration file:\n")
    print(f'[tenants.{json.dumps(tenant)}]\ntokens = ["{digest}"]')
    return DONE
