class ModelManifest:
    model_id: str
    simple_class_path: str | None
    def __init__(self, model_id: str, simple_class_path: str | None = None) -> None: ...
