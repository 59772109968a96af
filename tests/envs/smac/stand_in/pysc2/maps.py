"""Maps by name; a subclass of `Map` is one."""


class NoMapError(Exception):
    """There is no such map."""


class DuplicateMapError(Exception):
    """There are two of one name."""


class Map:
    directory = "SMAC_Maps"
    filename = ""

    @property
    def path(self) -> str:
        return f"{self.directory}/{self.filename}.SC2Map"


def get(map_name: str) -> Map:
    known: dict[str, type[Map]] = {}
    for found in Map.__subclasses__():
        if found.__name__ in known:
            raise DuplicateMapError(f"Duplicate map found: {found.__name__}")
        known[found.__name__] = found
    if map_name not in known:
        raise NoMapError(f"Map doesn't exist: {map_name}")
    return known[map_name]()
