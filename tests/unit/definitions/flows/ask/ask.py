def ask(text: str) -> str:
    return text
