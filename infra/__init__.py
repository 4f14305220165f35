"""The deployment in Azure: Bicep, and the hook that azd runs after it."""
