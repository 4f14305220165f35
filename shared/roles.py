"""Who the app is to Azure and what it must be allowed: the remedies when Azure says no."""

from azure.core.exceptions import ClientAuthenticationError

from shared.inputs import redacted

#: For jobs, components, data and environments.
WORKSPACE = "AzureML Data Scientist on the workspace"
#: Data Scientist may read computes and nothing more.
COMPUTES = "AzureML Compute Operator on the workspace, beside AzureML Data Scientist"
#: Writing index tags takes more than Storage Blob Data Contributor.
STATE = "Storage Blob Data Owner on the state container"
LAKES = "Storage Blob Data Reader there, and let its network in"
MANIFESTS = "Storage Blob Data Contributor there, and let its network in"
MESSAGES = "Azure Service Bus Data Receiver on the queue and on the subscription"
OUTCOMES = "Azure Service Bus Data Sender on the topic"

#: What azure-identity reads. Source: DefaultAzureCredential, azure-identity 1.x.
_SIGN_IN = (
    "Give the app a managed identity, and for a user-assigned one its client id in "
    "AZURE_CLIENT_ID; or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or "
    "AZURE_CLIENT_CERTIFICATE_PATH, or AZURE_FEDERATED_TOKEN_FILE, for a service principal. At "
    "your own machine, `az login` does."
)
#: Characters that are told of what azure-identity says, which lists every way that it tried.
_SAID = 600


def give(role: str) -> str:
    """What to do about a 403."""
    return f"Give this identity the role {role}. A new role takes some minutes to hold."


def sign_in(error: ClientAuthenticationError) -> str:
    """Why nobody could be signed in, on one line, and what to set."""
    said = " ".join(redacted(str(error.message)).split())
    cut = said if len(said) <= _SAID else f"{said[:_SAID]}…"
    return f"{cut.rstrip('.')}. {_SIGN_IN}"
