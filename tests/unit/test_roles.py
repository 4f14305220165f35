"""What to do when Azure says no."""

from azure.core.exceptions import ClientAuthenticationError

from shared import roles

TOKEN = "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.c2VjcmV0c2VjcmV0"


def test_who_cannot_sign_in_is_told_every_setting_that_would_help() -> None:
    said = roles.sign_in(ClientAuthenticationError("none of them\n  worked."))

    assert said.startswith("none of them worked. ")
    for setting in (
        "AZURE_CLIENT_ID",
        "AZURE_TENANT_ID",
        "AZURE_CLIENT_SECRET",
        "AZURE_CLIENT_CERTIFICATE_PATH",
        "AZURE_FEDERATED_TOKEN_FILE",
    ):
        assert setting in said


def test_what_the_library_says_is_cut_and_holds_no_secret() -> None:
    said = roles.sign_in(ClientAuthenticationError(f"refused {TOKEN} " + "x" * 5_000))

    assert "c2Vj" not in said
    assert len(said) < 1_200


def test_a_role_is_named_with_where_it_is_wanted() -> None:
    assert "the role Storage Blob Data Owner on the state container" in roles.give(roles.STATE)
