import { mount } from "svelte";
import "./studio.css";
import Annotator from "./Annotator.svelte";

mount(Annotator, { target: document.getElementById("studio")! });
