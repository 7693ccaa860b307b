import { mount } from "svelte";
import "./studio.css";
import Studio from "./Studio.svelte";

mount(Studio, { target: document.getElementById("studio")! });
