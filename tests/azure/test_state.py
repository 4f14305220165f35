"""State in the deployed account: what the local storage account has to answer, Azure has to."""

from tests.integration import test_blob_state

globals().update(
    {name: test for name, test in vars(test_blob_state).items() if name.startswith("test_")}
)
