from __future__ import annotations

from pathlib import Path

import pytest

from edgeseg.telemetry import Sensors


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def files(root: Path, **contents: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (root / name).write_text(f"{content}\n")
    return root


def orin_nano(root: Path) -> Path:
    """The files of /sys of a Jetson Orin Nano under load."""
    zones = {"cpu-thermal": "51250", "gpu-thermal": "49781", "cv0-thermal": "-256000", "tj-thermal": "51500"}
    for index, (kind, temperature) in enumerate(zones.items()):
        files(root / f"sys/class/thermal/thermal_zone{index}", type=kind, temp=temperature)
    files(root / "sys/class/thermal/thermal_zone9", type="PMIC-Die", temp="100000")
    files(root / "sys/class/thermal/cooling_device0", type="pwm-fan")
    files(
        root / "sys/class/hwmon/hwmon1",
        name="ina3221",
        in1_label="VDD_IN",
        in1_input="5056",
        curr1_input="1440",
        in2_label="VDD_CPU_GPU_CV",
        in2_input="5048",
        curr2_input="320",
        in3_label="VDD_SOC",
        in3_input="5048",
        curr3_input="400",
        in7_label="sum of shunt voltages",
        in7_input="3",
    )
    return root


def test_a_jetson_orin_nano(tmp_path: Path) -> None:
    reading = Sensors(orin_nano(tmp_path), Clock()).read()
    assert reading.temperatures_c == {"cpu-thermal": 51.25, "gpu-thermal": 49.781, "tj-thermal": 51.5}
    assert reading.hottest == "tj-thermal"
    assert list(reading.power_w) == ["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"]
    assert reading.total_w == pytest.approx(5.056 * 1.440)
    assert reading.to_dict()["total_w"] == 7.28


def test_a_module_without_an_input_rail_draws_the_sum(tmp_path: Path) -> None:
    files(
        tmp_path / "sys/class/hwmon/hwmon3",
        name="ina3221",
        in1_label="VDD_GPU_SOC",
        in1_input="20000",
        curr1_input="500",
        in2_label="VDD_CPU_CV",
        in2_input="20000",
        curr2_input="100",
        in3_label="VIN_SYS_5V0",
        in3_input="5000",
        curr3_input="900",
    )
    files(tmp_path / "sys/class/hwmon/hwmon4", name="ina3221", in2_label="VDDQ_VDD2_1V8AO", in2_input="5000")
    (tmp_path / "sys/class/hwmon/hwmon4/curr2_input").write_text("200\n")
    assert Sensors(tmp_path, Clock()).read().total_w == pytest.approx(10 + 2 + 4.5)


def test_a_machine_without_sensors_says_none(tmp_path: Path) -> None:
    reading = Sensors(tmp_path, Clock()).read()
    assert reading.to_dict() == {"hottest": None, "total_w": None, "temperatures_c": {}, "power_w": {}}


def test_hwmon_where_there_are_no_zones(tmp_path: Path) -> None:
    files(tmp_path / "sys/class/hwmon/hwmon0", name="k10temp", temp1_input="40000", temp1_label="Tctl")
    files(tmp_path / "sys/class/hwmon/hwmon1", name="nvme", temp1_input="35000")
    files(tmp_path / "sys/class/hwmon/hwmon2", name="nvme", temp1_input="36000")
    assert Sensors(tmp_path, Clock()).read().temperatures_c == {"k10temp Tctl": 40.0, "nvme": 35.0, "nvme #2": 36.0}


def test_a_package_s_power_is_its_energy_over_time_also_when_the_counter_begins_again(tmp_path: Path) -> None:
    package = files(tmp_path / "sys/class/powercap/intel-rapl:0", name="package-0", max_energy_range_uj="1000000000")
    files(tmp_path / "sys/class/powercap/intel-rapl:0:0", name="core", energy_uj="5")
    clock = Clock()
    sensors = Sensors(tmp_path, clock)
    readings = []
    for energy_uj in (900_000_000, 930_000_000, 10_000_000):
        files(package, energy_uj=str(energy_uj))
        readings.append(sensors.read().power_w)
        clock.now += 2.0
    assert readings == [{}, {"package-0": pytest.approx(15.0)}, {"package-0": pytest.approx(40.0)}]


def test_sensors_are_asked_once_a_second(tmp_path: Path) -> None:
    clock = Clock()
    sensors = Sensors(tmp_path, clock)
    zone = files(tmp_path / "sys/class/thermal/thermal_zone0", type="cpu", temp="40000")
    assert sensors.read().temperatures_c == {"cpu": 40.0}
    files(zone, temp="50000")
    clock.now += 0.9
    assert sensors.read().temperatures_c == {"cpu": 40.0}
    clock.now += 0.2
    assert sensors.read().temperatures_c == {"cpu": 50.0}


@pytest.mark.parametrize("content", ["", "abc", "-273000", "999999999"])
def test_a_sensor_that_makes_no_sense_is_left_out(tmp_path: Path, content: str) -> None:
    files(tmp_path / "sys/class/thermal/thermal_zone0", type="cpu", temp=content)
    assert Sensors(tmp_path, Clock()).read().hottest is None
